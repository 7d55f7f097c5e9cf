"""What parsers share: forms that several protocols carry."""
