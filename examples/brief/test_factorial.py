"""The user's tests of the demo's brief: the harness sees to it that the generator leaves them as they are."""

import unittest

from factorial import factorial


class Factorial(unittest.TestCase):
    def test_of_zero(self) -> None:
        self.assertEqual(factorial(0), 1)

    def test_of_five(self) -> None:
        self.assertEqual(factorial(5), 120)
