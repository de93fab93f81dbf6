"""What the notebooks themselves need: gated cells, recordings, exercises, figures. Nobody copies it (chapter 00)."""
