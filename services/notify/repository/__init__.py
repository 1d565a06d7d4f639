"""All queries of notify: `people` and their rights, the `catalogue`, their `wishes` (alerts), the view
`changes` that they are told of, the `deliveries` that tell them, and the `live_log` of the live channel.
"""
