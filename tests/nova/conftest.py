"""What is in `inside` runs where Nova is; test_inside.py has it run."""

collect_ignore = ["inside"]
