"""Lines that say of a promise whether it holds."""


class Verdicts:
    """Prints lines with their verdicts, and counts what does not hold."""

    def __init__(self) -> None:
        self.failed = 0

    def report(self, line: str, good: bool) -> None:
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {line}", flush=True)
