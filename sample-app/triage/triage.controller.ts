import { Controller, Get, Query } from '@nestjs/common';
import { UseOAuthClient } from 'nestjs-oauth-client';
import type { Observable } from 'rxjs';
import { TriageService, type ComplaintSuggestions } from './triage.service.js';

/** Buoy's token is at hand before a handler runs; its failures become 502, 503 or 504. */
@Controller('triage')
@UseOAuthClient('buoy')
export class TriageController {
  constructor(private readonly triage: TriageService) {}

  @Get('suggestions')
  suggest(@Query('text') text = ''): Observable<ComplaintSuggestions> {
    return this.triage.suggest(text);
  }
}
