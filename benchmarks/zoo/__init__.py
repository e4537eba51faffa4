"""Bad models, made from good ones, and the way that each of them is sent on."""
