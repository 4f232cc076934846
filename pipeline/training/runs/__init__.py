"""What a training that is going on tells other commands, and how they follow it."""
