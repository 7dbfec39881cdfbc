"""The grader of each lab."""
