"""The network in plain torch: attention, encoder, decoder, loss and search."""
