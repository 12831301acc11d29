"""Samples, with real cases beside them where wanted, as data sets that other tools train on."""
