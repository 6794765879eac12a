"""What the stages send to MLflow. It cannot change a result, so no stage depends on this code."""
