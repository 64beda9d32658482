"""Reports of a `Comparison` (`otel_llm.values.comparison`), or of a suite of them, each from that one value and nothing else.

    lines     for people at a terminal, and wherever text without colour goes
    junit     XML that Jenkins and GitLab read
    github    workflow commands of GitHub Actions
    html      one file that works offline
    page      its style
    suite_lines, suite_pages, bisect_lines
              the same for `otel-llm replay suite` and `bisect`

Everything captured passes `otel_llm.cli.safe` on its way, and then the escaping of the format.
"""
