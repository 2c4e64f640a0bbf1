"""Which of many tuned models to keep, judged on photos."""
