"""``report``: what a results file says, as tables on a terminal and as one HTML page.

Lines are kept as columns in `collecting`, columns become figures in `figures` and `timeline`,
and figures are shown by `tables` and `page`.
"""
