import { explain, startClinic } from './clinic.js';
import { describeRoutes, firstCalls } from './first-calls.js';

try {
  const clinic = await startClinic();
  console.log(describeRoutes(clinic).join('\n'));
  console.log('One call to each partner:');
  console.log((await firstCalls(clinic)).join('\n'));
  console.log('Ctrl+C stops it.');
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}
