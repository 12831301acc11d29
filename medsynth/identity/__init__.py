"""Who a scan may name, and that it names nobody: pseudonyms in place of patient ids."""
