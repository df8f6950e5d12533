"""What `flask doctor` checks, one module for each subject. A check returns findings, and never raises."""
