"""The mathematical core: preconditioning, noise, samplers; torch only, any spatial rank."""
