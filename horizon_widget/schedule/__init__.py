"""What is scheduled for one query: the plan, the engine that fills its map, and the controller of a widget's map."""
