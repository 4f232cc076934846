"""Search: from encoded sentences to hypotheses, greedily, with a beam, or by sampling."""
