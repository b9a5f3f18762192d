"""Coverage-guided fuzzing of everything that reads bytes of the data. ``make fuzz``; see docs/security.md."""
