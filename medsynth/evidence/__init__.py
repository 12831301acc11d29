"""Whether samples are faithful and diverse, judged beside controls; the report page."""
