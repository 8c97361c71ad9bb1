"""From images where they lie to batches of pixels for a network.

image_reader → decoding (jpeg, images, orientation) → pillow_resize or tensor_resize → handover
→ pipeline
"""
