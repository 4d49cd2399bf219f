"""When it runs: Prefect flows, deployments and the command line."""
