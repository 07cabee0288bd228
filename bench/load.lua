-- Sends the requests of a file in turn: the head first, then one body a line. MEAN, if given, is the mean pause in ms.
local lines, mean = {}, tonumber(os.getenv("BENCH_PAUSE") or "0")
local n, first = 0, tonumber(os.getenv("BENCH_FIRST") or "0")

init = function()
  math.randomseed(os.time())
  local path, is_body = os.getenv("BENCH_PATH"), os.getenv("BENCH_METHOD") == "POST"
  local headers = { ["Authorization"] = os.getenv("BENCH_AUTHORIZATION"), ["Content-Type"] = "application/json" }
  for line in io.lines(os.getenv("BENCH_FILE")) do
    if is_body then
      lines[#lines + 1] = wrk.format("POST", path, headers, line)
    else
      lines[#lines + 1] = wrk.format("GET", path .. line)
    end
  end
  n = math.random(#lines)
end

request = function()
  n = n % #lines + 1
  return lines[n]
end

if mean > 0 then
  delay = function() return math.floor(math.random() * 2 * mean + math.random()) end
end

done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %.1f %.1f %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
