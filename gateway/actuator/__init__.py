"""Who may write to a device, for how long, and how what was written is given back."""
