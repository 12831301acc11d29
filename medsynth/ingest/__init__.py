"""Find what a source folder holds, check it, and write it as cases."""
