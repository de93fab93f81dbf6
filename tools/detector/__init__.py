"""The detector of chapter 13: photographs, scenes, loss and AP. tools/train_detector.py puts them together."""
