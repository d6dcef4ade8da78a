"""What comes from outside, at random: seeds, mutators and the loops that run them."""
