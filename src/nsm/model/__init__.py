"""The nouns of the system: what each station hands to the next. No behaviour beyond access and checks."""
