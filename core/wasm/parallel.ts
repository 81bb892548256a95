/**
 * Threads over one shared memory. Thread 0 is the host's; threads 1 … n−1 sit in `workerLoop`.
 *
 * A program is a list of commands in memory (written by hosts/cpu.ts from the kernel table); every thread walks the
 * whole list and does its share of each command, with a barrier after each. How work is shared never changes a bit:
 * an output element is always computed whole by one thread, in the one order that its kernel states.
 */
import { dispatch } from "./generated/dispatch";

// Control block, words: 0 epoch (workers wake when it changes), 1 program address, 2 command count, 3 barrier arrivals,
// 4 barrier generation, 5 workers asleep at the barrier, 6 shared scratch, 7 thread scratch base, 8 thread scratch bytes,
// 9 stop flag, 10 set by a worker that died.
const EPOCH: usize = 0;
const PROGRAM: usize = 4;
const COUNT: usize = 8;
const ARRIVED: usize = 12;
const GENERATION: usize = 16;
const SHARED: usize = 24;
const SCRATCH: usize = 28;
const SCRATCH_BYTES: usize = 32;
const STOP: usize = 36;
const FAILED: usize = 40;

/** Rounds of spinning before a thread sleeps: some 50 µs, because waking a sleeping thread costs about as much. */
const SPIN: i32 = 50000;

let control: usize = 0;
let thread: i32 = 0;
let threads: i32 = 1;

export function configure(controlBlock: usize, threadIndex: i32, threadCount: i32): void {
  control = controlBlock;
  thread = threadIndex;
  threads = threadCount;
}

// @ts-ignore: decorator
@inline
export function threadIndex(): i32 {
  return thread;
}
// @ts-ignore: decorator
@inline
export function threadCount(): i32 {
  return threads;
}
/** Scratch that all threads share. */
// @ts-ignore: decorator
@inline
export function sharedScratch(): usize {
  return load<u32>(control + SHARED);
}
/** Scratch of this thread alone. */
// @ts-ignore: decorator
@inline
export function threadScratch(): usize {
  return <usize>load<u32>(control + SCRATCH) + <usize>thread * <usize>load<u32>(control + SCRATCH_BYTES);
}

/** First item of this thread's contiguous share of n items (share of thread t begins where that of t−1 ends). */
// @ts-ignore: decorator
@inline
export function shareStart(n: i32, grain: i32): i32 {
  const units = (n + grain - 1) / grain;
  return min(n, <i32>((<i64>units * thread) / threads) * grain);
}
// @ts-ignore: decorator
@inline
export function shareEnd(n: i32, grain: i32): i32 {
  const units = (n + grain - 1) / grain;
  return min(n, <i32>((<i64>units * (thread + 1)) / threads) * grain);
}

/** Waits until the word is no longer `value`: spins first, then sleeps. */
function waitWhile(address: usize, value: i32): void {
  for (let i = 0; i < SPIN; i++) {
    if (atomic.load<i32>(address) != value) break;
  }
  while (atomic.load<i32>(address) == value) {
    // A thread that died never reaches its barrier: trap here too, rather than wait for ever.
    atomic.wait<i32>(address, value, -1);
    if (atomic.load<i32>(control + FAILED)) break;
  }
  if (atomic.load<i32>(control + FAILED)) unreachable();
}

export function barrier(): void {
  if (threads == 1) return;
  const generation = atomic.load<i32>(control + GENERATION);
  if (atomic.add<i32>(control + ARRIVED, 1) == threads - 1) {
    atomic.store<i32>(control + ARRIVED, 0);
    atomic.store<i32>(control + GENERATION, generation + 1);
    atomic.notify(control + GENERATION, -1);
  } else {
    waitWhile(control + GENERATION, generation);
  }
}

function walk(): void {
  let at: usize = load<u32>(control + PROGRAM);
  const count = load<u32>(control + COUNT);
  for (let i: u32 = 0; i < count; i++) {
    at = dispatch(at);
    barrier();
  }
}

/** Runs the program on all threads; called by thread 0, returns when every command is done. */
export function run(program: usize, count: u32): void {
  store<u32>(control + PROGRAM, program);
  store<u32>(control + COUNT, count);
  if (threads > 1) {
    atomic.add<i32>(control + EPOCH, 1);
    atomic.notify(control + EPOCH, -1);
  }
  walk();
}

/** Where threads 1 … n−1 live. `seen` is the epoch at which the worker was started. */
export function workerLoop(seen: i32): void {
  while (true) {
    waitWhile(control + EPOCH, seen);
    seen++;
    if (atomic.load<i32>(control + STOP)) return;
    walk();
  }
}
