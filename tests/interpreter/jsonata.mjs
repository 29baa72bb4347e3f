// Evaluates JSONata expressions, one per line of the standard input as JSON; answers {"value": …} or {"error": …}.
import { createInterface } from "node:readline";
import jsonata from "jsonata";

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const value = await jsonata(JSON.parse(line)).evaluate(null);
    answer = { value: value === undefined ? null : value };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
