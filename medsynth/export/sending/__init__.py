"""Exported objects to an archive (PACS): C-STORE and STOW-RS, to destinations that a list of the user's names."""
