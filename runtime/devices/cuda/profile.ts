/**
 * Times of recordings by events of the device's clock.
 *
 *     whole       │ a graph │ a graph │ … │              as they run
 *     commands    ││ launch a │ launch b │ … │           one graph of all launches, none early, an event after each
 *
 * Between the first two events lies nothing: what that takes is no launch's. Of each time the mean of the middle half of the runs counts.
 */
import type { Recording, RecordingTimes } from "../device.js"
import type { Driver } from "./driver.js"
import type { Graphs } from "./graphs.js"

export function profileRecordings(
  driver: Driver,
  stream: number,
  graphs: Pick<Graphs, "run" | "marked">,
  recordings: readonly Recording[],
  runs: number,
): RecordingTimes {
  const made: number[] = []
  const clock = () => {
    const event = driver.createClock()
    made.push(event)
    return event
  }
  try {
    const [begin, end] = [clock(), clock()]
    // What runs first may still be brought to the device.
    graphs.run(recordings)
    driver.record(begin, stream)
    for (let i = 0; i < runs; i++) graphs.run(recordings)
    driver.record(end, stream)
    driver.synchronize(stream)
    const whole = (1000 * driver.elapsed(begin, end)) / runs
    const count = recordings.reduce((n, { commands }) => n + commands, 0)
    const marks = Array.from({ length: count + 2 }, clock)
    const samples = sampled(driver, stream, graphs, recordings, marks, runs)
    const [empty, ...commands] = samples.map((times) => 1000 * middleMean(times))
    return { commands: commands.map((time) => Math.max(0, time - empty!)), whole }
  } finally {
    for (const event of made) driver.destroyEvent(event)
  }
}

/** Milliseconds between each mark and the next, of every run. */
function sampled(
  driver: Driver,
  stream: number,
  graphs: Pick<Graphs, "marked">,
  recordings: readonly Recording[],
  marks: readonly number[],
  runs: number,
): readonly (readonly number[])[] {
  const [first, ...others] = marks
  const executable = graphs.marked(recordings, (capturing, done) => {
    if (done === 0) driver.mark(first!, capturing)
    driver.mark(others[done]!, capturing)
  })
  try {
    const samples = others.map((): number[] => [])
    for (let run = 0; run <= runs; run++) {
      driver.launchGraph(executable, stream)
      driver.synchronize(stream)
      if (run > 0) for (const [i, mark] of others.entries()) samples[i]!.push(driver.elapsed(marks[i]!, mark))
    }
    return samples
  } finally {
    driver.destroyExecutable(executable)
  }
}

function middleMean(times: readonly number[]): number {
  const cut = times.length >> 2
  const middle = [...times].sort((a, b) => a - b).slice(cut, times.length - cut)
  return middle.reduce((sum, time) => sum + time, 0) / middle.length
}
