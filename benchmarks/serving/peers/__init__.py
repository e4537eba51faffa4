"""What the gateway is compared with: programs and models that other servers run."""
