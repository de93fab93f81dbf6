"""What makes the workbook: for people who work on it; nothing here is needed to read it or to use its helpers."""
