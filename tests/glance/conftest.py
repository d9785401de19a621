"""What is in `inside` runs where Glance is; test_inside.py has it run."""

collect_ignore = ["inside"]
