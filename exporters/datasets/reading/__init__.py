"""Reading datasets: `open_dataset`, from folders, shards or the web."""
