"""Commands about `$NMT_HOME`: what runs, what stopped, what is stored, what it was made from, what can go."""
