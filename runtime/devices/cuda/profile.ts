/**
 * Times of recordings by events of the device's clock.
 *
 *     whole       │ a graph │ a graph │ … │              as they run
 *     commands    hold ││ launch a │ launch b │ … │      one graph of all launches, none early, an event after each
 *
 * The host brings a graph with events to the device more slowly than short launches run: a kernel that does nothing holds them up until all of it
 * is there. Between the first two events lies nothing: what that takes is no launch's. Of each time the mean of the middle half of the runs counts.
 */
import type { Recording, RecordingTimes } from "../device.js"
import type { Driver, Launch } from "./driver.js"
import type { Graphs } from "./graphs.js"

/** Microseconds for the host to bring a launch and its event to the device: twice what was seen on an H200. */
const bringingMicroseconds = 20
/** Microseconds for a graph without launches. */
const beginningMicroseconds = 200

export interface ProfileParts {
  readonly driver: Driver
  readonly stream: number
  readonly graphs: Pick<Graphs, "run" | "marked">
  /** A launch that takes so many microseconds. */
  readonly holding: (microseconds: number) => Launch
}

export function profileRecordings(parts: ProfileParts, recordings: readonly Recording[], runs: number): RecordingTimes {
  const { driver, stream, graphs } = parts
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
    const samples = sampled(parts, recordings, marks, runs)
    const [empty, ...commands] = samples.map((times) => 1000 * middleMean(times))
    return { commands: commands.map((time) => Math.max(0, time - empty!)), whole }
  } finally {
    for (const event of made) driver.destroyEvent(event)
  }
}

/** Milliseconds between each mark and the next, of every run. */
function sampled(
  { driver, stream, graphs, holding }: ProfileParts,
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
    const hold = holding(beginningMicroseconds + bringingMicroseconds * others.length)
    const samples = others.map((): number[] => [])
    for (let run = 0; run <= runs; run++) {
      driver.launch(hold, stream)
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
