import { FastifyAdapter } from '@nestjs/platform-fastify';
import { run } from './main.js';

void run(new FastifyAdapter());
