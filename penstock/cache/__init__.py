"""Answers that were paid for once, kept to be given again."""
