"""Reports of a `Comparison` (`otel_llm.values.comparison`), or of a suite of them, each from that one value and nothing else.

    lines     for people at a terminal, and wherever text without colour goes
    junit     XML that Jenkins and GitLab read
    github    workflow commands of GitHub Actions
    html      one file that works offline
    page      its style
    suite_lines, suite_pages, bisect_lines
              the same for `otel-llm replay suite` and `bisect`
    rerun_pages   the same for `otel-llm replay rerun`
    diff_lines    two answers, for `otel-llm replay diff` and `reissue`

Everything captured passes `otel_llm.text.safe` on its way, and then the escaping of the format.
"""
