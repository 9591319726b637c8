"""What a bad call must come to, and why some calls are exempt."""

from __future__ import annotations

import re

# Flaws that every function refuses, whatever it computes.
REFUSED = re.compile(
    r"NULL slot|empty handle|NULL of length 1|huge length|negative length|outside the enum .*|NULL|no such folder|a folder"
    r"|without \w+|empty element|device \(.*"
)
