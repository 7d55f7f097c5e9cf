"""Where packets come from: capture files of every kind, and live interfaces."""
