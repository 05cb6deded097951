"""HOW: the machinery between a trigger and an outcome. Private."""
