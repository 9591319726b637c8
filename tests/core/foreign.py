"""Objects of other classes beside arrays."""


class Complex:
    def __complex__(self):
        return 2 + 1j


class Real:
    def __float__(self):
        return 2.5


class Index:
    def __index__(self):
        return 1


class Reflected:
    def __radd__(self, other):
        return "reflected"

    def __eq__(self, other):
        return "equal"
