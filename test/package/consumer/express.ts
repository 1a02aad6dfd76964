import { ExpressAdapter } from '@nestjs/platform-express';
import { run } from './main.js';

void run(new ExpressAdapter());
