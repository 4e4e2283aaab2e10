"""`penstock demo`: the main job from end to end, with the OpenAI SDK as any user has it."""
