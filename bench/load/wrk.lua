-- The URL's host is the name that is asked for (SNI, Host); it leads here whatever DNS says.
wrk.resolve = function(host, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end

done = function(summary, latency, requests)
  local percentiles = {}
  for _, step in ipairs({50, 75, 90, 95, 99, 99.9, 99.99}) do
    table.insert(percentiles, string.format("%.1f", latency:percentile(step)))
  end
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "microseconds": %d, "mean": %.1f, "percentiles": [%s], "maximum": %.1f, "failed": %d}\n',
    summary.requests, summary.duration, latency.mean, table.concat(percentiles, ", "), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
